"""Small programs that time other codes, run by the interpreter of --peers: they import nothing of Renkei but one another."""
