"""Power Automate: flows that are started by what happens, and flows that ask and act."""
