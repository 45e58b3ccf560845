"""Recommendation: what people will like, from what they liked, and things nobody has rated yet from what they are.

    rushlight run examples/recommend.py

The ratings are made, so that what can be known is known: 600 people and 400 films have six hidden traits each, films'
traits come from their genres and a part of their own, a rating is the traits' product plus how kindly the person
rates and how good the film is, plus noise of deviation 0.5, which no model can foresee. Twenty films are new: nobody
has rated them. Three models learn from 30 ratings a person: biases alone; matrix factorisation (Koren, Bell and
Volinsky, 2009), an embedding for each person and film; two towers, in which an EmbeddingBag of a film's genres is
added to its own embedding, which is dropped at times, so that genres alone must do. Prints the root mean square error
on ratings not trained on, and for new films how often the film of a pair that a person likes more is put first. A few
seconds on two cores.
"""

import argparse

import torch
from torch import nn

PEOPLE, FILMS, NEW, GENRES, TRAITS, NOISE = 600, 400, 20, 12, 6, 0.5


def made(each):
    """Ratings everybody would give without noise (PEOPLE, FILMS);
    each film's three genres; observed (person, film, rating)s."""
    genres = torch.stack([torch.randperm(GENRES)[:3] for _ in range(FILMS)])
    tastes, of_genre = torch.randn(PEOPLE, TRAITS), torch.randn(GENRES, TRAITS)
    traits = of_genre[genres].mean(1) + 0.3 * torch.randn(FILMS, TRAITS)
    true = 3 + tastes @ traits.T * 0.5 + 0.4 * torch.randn(PEOPLE, 1) + 0.4 * torch.randn(FILMS)
    film = torch.stack([torch.randperm(FILMS - NEW)[:each] for _ in range(PEOPLE)]).flatten()  # the last films are new
    person = torch.arange(PEOPLE).repeat_interleave(each)
    order = torch.randperm(len(film))
    person, film = person[order], film[order]
    return true, genres, (person, film, true[person, film] + NOISE * torch.randn(len(film)))


class Biases(nn.Module):
    """The mean, how kindly a person rates, how good a film is."""

    def __init__(self, mean, genres):
        super().__init__()
        self.mean = mean
        self.kind, self.good = nn.Embedding(PEOPLE, 1), nn.Embedding(FILMS, 1)
        nn.init.zeros_(self.kind.weight)
        nn.init.zeros_(self.good.weight)

    def forward(self, person, film):
        return self.mean + (self.kind(person) + self.good(film))[:, 0]


class Factors(Biases):
    """Biases, and the product of a person's embedding and a film's."""

    def __init__(self, mean, genres):
        super().__init__(mean, genres)
        self.taste, self.trait = nn.Embedding(PEOPLE, TRAITS), nn.Embedding(FILMS, TRAITS)
        nn.init.normal_(self.taste.weight, 0.0, 0.1)
        nn.init.normal_(self.trait.weight, 0.0, 0.1)

    def own(self, film):
        return self.trait(film)

    def forward(self, person, film):
        return super().forward(person, film) + (self.taste(person) * self.own(film)).sum(1)


class Towers(Factors):
    """Factors, in which a film's genres give its embedding, and ratings only what is particular about it."""

    def __init__(self, mean, genres):
        super().__init__(mean, genres)
        self.genres = genres
        self.of_genre = nn.EmbeddingBag(GENRES, TRAITS, mode="mean")
        nn.init.normal_(self.of_genre.weight, 0.0, 0.1)
        nn.init.zeros_(self.trait.weight)

    def own(self, film):
        particular = self.trait(film)
        if self.training:
            particular = particular * (torch.rand(len(film), 1) < 0.8)
        return self.of_genre(self.genres[film]) + particular


def train(model, ratings, epochs, batch=512, decay=0.02):
    """Squared error; Adam, with a weight decay on all embeddings as on those of the batch alone."""
    optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs)
    for _ in range(epochs):
        for rows in torch.randperm(len(ratings[0])).split(batch):
            person, film, rating = (column[rows] for column in ratings)
            optimizer.zero_grad()
            loss = nn.functional.mse_loss(model(person, film), rating)
            penalty = sum((e.weight[i] ** 2).sum(1).mean() for e, i in embeddings(model, person, film))
            (loss + decay * penalty).backward()
            optimizer.step()
        schedule.step()
    return model.eval()


def embeddings(model, person, film):
    """Each embedding and the numbers by which it is asked."""
    yield model.kind, person
    yield model.good, film
    if isinstance(model, Factors):
        yield model.taste, person
        yield model.trait, film


def everyones(model):
    """The model's guess at all ratings (PEOPLE, FILMS)."""
    with torch.no_grad():
        person, film = torch.arange(PEOPLE).repeat_interleave(FILMS), torch.arange(FILMS).repeat(PEOPLE)
        return model(person, film).view(PEOPLE, FILMS)


def right_order(guess, true):
    """The share of pairs of films, for all people, that guess puts in the true order; a tie is half right."""
    a, b = torch.combinations(torch.arange(guess.shape[1])).T
    agree = torch.sign(guess[:, a] - guess[:, b]) * torch.sign(true[:, a] - true[:, b])
    return ((agree + 1) / 2).mean().item()


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--each", type=int, default=40, help="ratings a person; a quarter of them is kept back for the test")
    p.add_argument("--epochs", type=int, default=40)
    args = p.parse_args()
    torch.manual_seed(0)
    true, genres, ratings = made(args.each)
    cut = len(ratings[0]) * 3 // 4
    known, kept = [column[:cut] for column in ratings], [column[cut:] for column in ratings]
    mean = known[2].mean().item()
    error = (kept[2] - mean).square().mean().sqrt().item()
    print(f"{'':22}error of ratings   new films in the right order")
    print(f"{'the mean rating':22}{error:16.3f}{0.5:31.1%}")
    for name, kind in (("biases", Biases), ("matrix factorisation", Factors), ("two towers", Towers)):
        torch.manual_seed(1)
        guess = everyones(train(kind(mean, genres), known, args.epochs))
        error = (guess[kept[0], kept[1]] - kept[2]).square().mean().sqrt().item()
        print(f"{name:22}{error:16.3f}{right_order(guess[:, -NEW:], true[:, -NEW:]):31.1%}", flush=True)
    error = (true[kept[0], kept[1]] - kept[2]).square().mean().sqrt().item()
    print(f"{'the truth':22}{error:16.3f}{1:31.1%}")


if __name__ == "__main__":
    main()
