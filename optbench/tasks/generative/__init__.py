"""Generation of images, by two players or from noise step by step, and distances between generated and real images."""
