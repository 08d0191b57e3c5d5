"""Protocol servers of our own: the Azure services as their SDKs see them, on this machine."""
