X = 1


class Plain:
    pass
