//! The API types of dcanary.dev/v1alpha1 and their generated YAML.
