"""The relay: devices of the plant, read on site and handed to the hub. ``hub_*`` runs in the cloud app, ``plant_*`` on
the relay; ``messages`` is what they say to each other."""
