NAME = "v"
