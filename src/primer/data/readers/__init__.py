"""Readers of files: CSV, CoNLL-U, images, MIDI, and vocabularies over what they hold."""
