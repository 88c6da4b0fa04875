"""Models of other libraries, `model=LIBRARY/NAME`: a module for each library, which describes and builds them."""
