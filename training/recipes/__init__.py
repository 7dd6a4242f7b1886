"""How a model that ships was made, and corpora that anybody can make again: see README.md."""
