"""Try settings on a few pictures of a folder: beside other codecs, and to say what the whole folder would take."""
