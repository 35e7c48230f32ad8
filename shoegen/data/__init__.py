"""Images, data sets and label maps; `synthetic` draws shoes."""
