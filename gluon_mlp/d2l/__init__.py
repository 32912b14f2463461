"""What the book's own package gives the chapter, under the book's names."""
