import json

json.loads("{nope")
