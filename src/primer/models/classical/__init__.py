"""Classical algorithms, fitted in a single pass: classifiers, regressors, clusterings and projections."""
