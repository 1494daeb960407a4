def price_of(article: str) -> float:
    return float(len(article))
