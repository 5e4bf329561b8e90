"""Whole folders of images through a dispatcher, into a file of results."""
