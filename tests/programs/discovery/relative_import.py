from .two_hops import Greet
