"""Names and bytes on disk. Nothing in this package knows what a picture is."""
