"""Features, the exact L2-SVM, label protocols and the baselines beside them."""
