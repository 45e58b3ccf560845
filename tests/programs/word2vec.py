"""Skip-gram with negative sampling on Alice in Wonderland; nearest words by cosine."""
import json
import re
from collections import Counter

import torch
import torch.nn as nn
import torch.nn.functional as F
from datafiles import text

torch.manual_seed(0)
words = re.findall(r"[a-z]+", text("alice_wonderland", 9000).lower())
counts = Counter(words).most_common(120)
index = {w: i for i, (w, _) in enumerate(counts)}
corpus = torch.tensor([index[w] for w in words if w in index])
noise = torch.tensor([float(c) for _, c in counts]) ** 0.75


class SkipGram(nn.Module):
    def __init__(self, vocab, dim):
        super().__init__()
        self.target = nn.Embedding(vocab, dim)
        self.context = nn.Embedding(vocab, dim)
        self.target.weight.data.uniform_(-0.5 / dim, 0.5 / dim)
        self.context.weight.data.zero_()

    def forward(self, target, context, negatives):
        t = self.target(target)
        positive = F.logsigmoid((t * self.context(context)).sum(1))
        negative = F.logsigmoid(-torch.bmm(self.context(negatives), t.unsqueeze(2)).squeeze(2)).sum(1)
        return -(positive + negative).mean()


pairs = torch.cat([torch.stack([corpus[:-d], corpus[d:]], 1) for d in (1, 2)])
model = SkipGram(len(counts), 16)
optimizer = torch.optim.SGD(model.parameters(), lr=2.0)
losses = []
for step in range(30):
    batch = pairs[torch.randint(0, len(pairs), (64,))]
    negatives = torch.multinomial(noise, 64 * 4, replacement=True).view(64, 4)
    loss = model(batch[:, 0], batch[:, 1], negatives)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    losses.append(loss.item())
vectors = F.normalize(model.target.weight.detach(), dim=1)
near = (vectors @ vectors[index["alice"]]).topk(4)
print(json.dumps({"losses": losses, "near": [counts[i][0] for i in near.indices.tolist()],
                  "cosines": near.values.tolist()}))
