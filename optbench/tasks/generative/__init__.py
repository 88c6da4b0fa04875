"""Generation of images by two players, and how near it comes to the real ones."""
