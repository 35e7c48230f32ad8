"""The conditional analogy GAN (Jetchev and Bergmann, arXiv 1709.04695): another article on the same photograph."""
