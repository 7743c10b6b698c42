"""Other companies' services, played on a real socket and held to what those companies say of their interfaces."""
