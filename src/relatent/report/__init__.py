"""Tables, figures and the HTML report: CSV and JSON in, pages out. Imports neither torch nor scikit-learn."""
