"""Training scripts of the user: started with what is asked of them, and measured."""
