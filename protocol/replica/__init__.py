"""A role of the other machine, copied byte for byte into this side's run folder; the transport below carries named bytes."""
