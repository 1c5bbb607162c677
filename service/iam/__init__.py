"""The policy language: grammar, documents, matching, who is granted what. Pure functions; asks nobody."""
