"""Ways for packets to travel between the daemons; one file each."""
