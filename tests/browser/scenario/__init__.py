"""The reference scenario, built by forms against a gateway that is there already."""
