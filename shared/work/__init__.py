"""Work: sessions, work orders, tasks, batches - what people did, and with which oven."""
