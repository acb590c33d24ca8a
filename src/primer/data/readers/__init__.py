"""File readers (CSV, text, images, music), tokenizers and vocabularies."""
