"""Generation of images by two players, and distances between generated and real images."""
