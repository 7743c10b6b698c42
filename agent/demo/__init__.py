"""
Quillmere Cycles, the shop that `careline demo` runs for: invented from its bicycles to its customers.
"""
