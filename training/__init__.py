"""From a corpus in the ASVspoof 2019 LA layout to a published artifact."""
