"""A small transformer learns to write like Shakespeare, letter by letter.

    rushlight run examples/language.py --text ../shared/data/text/tinyshakespeare_input.txt

Two blocks of causal self-attention read 64 letters and guess the next at each place (the design of GPT: Radford and
others, 2018). Prints the loss on the last tenth of the text, which is not trained on, in nats a letter, beside that
of the best guess from one letter back, and at the end what the network writes. About half a minute on two cores.
"""

import argparse
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional as F


class Block(nn.Module):
    """x + attention, then x + a perceptron, each after a layer norm."""

    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))

    def forward(self, x):
        n, t, c = x.shape
        q, k, v = self.qkv(self.norm1(x)).view(n, t, 3, self.heads, c // self.heads).permute(2, 0, 3, 1, 4)
        x = x + self.out(F.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2).reshape(n, t, c))
        return x + self.mlp(self.norm2(x))


class Transformer(nn.Module):
    """Letters (N, T) to scores of the next letter at each place (N, T, letters)."""

    def __init__(self, letters, context=64, width=96, heads=4, blocks=2):
        super().__init__()
        self.context = context
        self.letter, self.place = nn.Embedding(letters, width), nn.Embedding(context, width)
        self.blocks = nn.Sequential(*(Block(width, heads) for _ in range(blocks)))
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, letters)
        self.apply(self._start)

    @staticmethod
    def _start(module):
        if isinstance(module, (nn.Linear, nn.Embedding)):
            nn.init.normal_(module.weight, 0.0, 0.04)

    def forward(self, x):
        return self.head(self.norm(self.blocks(self.letter(x) + self.place.weight[:x.shape[1]])))


def draw(text, context, n):
    """n pieces of the text, and the same one letter later."""
    starts = torch.randint(0, len(text) - context - 1, (n, 1))
    places = starts + torch.arange(context + 1)
    pieces = text[places]
    return pieces[:, :-1], pieces[:, 1:]


def loss_of(model, x, y):
    return F.cross_entropy(model(x).flatten(0, 1), y.flatten())


def held_out_loss(model, text, pieces=256):
    """The mean loss over pieces spread evenly over the text."""
    starts = torch.linspace(0, len(text) - model.context - 2, pieces).long()[:, None]
    batch = text[starts + torch.arange(model.context + 1)]
    with torch.no_grad():
        return sum(loss_of(model, part[:, :-1], part[:, 1:]).item() * len(part) for part in batch.split(64)) / pieces


def pair_loss(train, test, letters):
    """The loss of guessing each letter by how often it followed the one before it."""
    pairs = torch.bincount(train[:-1] * letters + train[1:], minlength=letters ** 2)
    counts = pairs.view(letters, letters).float() + 0.1
    chances = counts / counts.sum(1, keepdim=True)
    return -chances[test[:-1], test[1:]].log().mean().item()


def write(model, start, n, temperature=0.8):
    """n letters more, each drawn by the network's chances."""
    text = start
    with torch.no_grad():
        for _ in range(n):
            seen = text[-model.context:]
            # Always as long, so that one plan serves all letters; what is behind the text does not reach into it
            padded = F.pad(seen, (0, model.context - len(seen)))
            chances = (model(padded[None])[0, len(seen) - 1] / temperature).softmax(0)
            text = torch.cat([text, torch.multinomial(chances, 1)])
    return text


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--text", default="../shared/data/text/tinyshakespeare_input.txt")
    p.add_argument("--steps", type=int, default=800)
    p.add_argument("--batch", type=int, default=32)
    p.add_argument("--write", type=int, default=300, help="how many letters to write")
    args = p.parse_args()
    torch.manual_seed(0)
    text = Path(args.text).read_text(encoding="utf8")
    alphabet = sorted(set(text))
    code = {letter: i for i, letter in enumerate(alphabet)}
    letters = torch.tensor([code[letter] for letter in text])
    train, test = letters[:len(letters) * 9 // 10], letters[len(letters) * 9 // 10:]
    model = Transformer(len(alphabet))
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 3e-3, args.steps, pct_start=0.1)
    print(f"guess from one letter back: {pair_loss(train, test, len(alphabet)):.3f} nats a letter", flush=True)
    for step in range(args.steps + 1):
        if step % 200 == 0 or step == args.steps:
            print(f"step {step}: {held_out_loss(model, test):.3f} nats a letter", flush=True)
        if step < args.steps:
            optimizer.zero_grad()
            loss_of(model, *draw(train, model.context, args.batch)).backward()
            optimizer.step()
            schedule.step()
    start = torch.tensor([code[letter] for letter in "\n" if letter in code])
    print("".join(alphabet[i] for i in write(model, start, args.write).tolist()))


if __name__ == "__main__":
    main()
