"""Other formats of labelled images, a file each. An importer lists its images; they are read later, in threads."""
