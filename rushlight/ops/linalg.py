"""Linear algebra: each row is one LAPACK call per matrix."""
