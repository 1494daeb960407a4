"""How a text is taken apart."""


def words(text):
    return [word.strip(".,!?").lower() for word in text.split()]
