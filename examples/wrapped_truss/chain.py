"""Rates reviews with a model that exists as a Truss already, and sums them up."""

from statistics import mean

import httpx
import pydantic

import truss_chains as chains


class Sentiment(chains.TrussChainlet):
    """The directory beside this file: a Truss as `truss push` takes it."""

    truss_dir = "sentiment"


class Summary(pydantic.BaseModel):
    average: float
    worst: str


@chains.mark_entrypoint("Reviews")
class Reviews(chains.ChainletBase):
    remote_config = chains.RemoteConfig(docker_image=chains.DockerImage(pip_requirements=["httpx>=0.27"]))

    def __init__(self, sentiment: Sentiment = chains.depends(Sentiment)) -> None:
        self._sentiment = sentiment

    async def run_remote(self, reviews: list[str]) -> Summary:
        call = self._sentiment.http_call_args()
        async with httpx.AsyncClient(timeout=60) as client:
            answer = await client.post(call.url, headers=dict(call.headers), json={"texts": reviews})
        scores = answer.raise_for_status().json()["scores"]
        worst = min(range(len(reviews)), key=lambda n: scores[n])
        return Summary(average=round(mean(scores), 2), worst=reviews[worst])
