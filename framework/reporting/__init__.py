"""One offline HTML file about runs, and the pictures in it."""
