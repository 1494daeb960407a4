from only_one import Alone as TheOne
