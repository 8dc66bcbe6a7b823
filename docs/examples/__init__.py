"""Plug-ins as a stranger would write them; with this folder's parent on the PYTHONPATH they are examples.NAME."""
