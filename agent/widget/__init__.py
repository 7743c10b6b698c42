"""
The chat window for a company's pages, and the routes that hand it out.
"""
