//! What a model customer speaks and hears.
