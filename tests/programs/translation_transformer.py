"""nn.Transformer translates digit strings into their sorted form: masks of all kinds, greedy decoding."""
import json
import math

import torch
from torch import nn

torch.manual_seed(0)
PAD, BOS, EOS, VOCAB, LENGTH = 0, 1, 2, 13, 7


def batch(n):
    digits = torch.randint(3, VOCAB, (n, LENGTH))
    lengths = torch.randint(3, LENGTH + 1, (n,))
    keep = torch.arange(LENGTH)[None] < lengths[:, None]
    src = torch.where(keep, digits, PAD)
    ordered = torch.where(keep, digits, VOCAB).sort(1).values
    tgt = torch.full((n, LENGTH + 2), PAD)
    tgt[:, 0] = BOS
    tgt[:, 1:LENGTH + 1] = torch.where(ordered < VOCAB, ordered, PAD)
    tgt[torch.arange(n), lengths + 1] = EOS
    return src, tgt


class Model(nn.Module):
    def __init__(self, d=32):
        super().__init__()
        self.src, self.tgt = nn.Embedding(VOCAB, d), nn.Embedding(VOCAB, d)
        self.place = nn.Embedding(16, d)
        self.transformer = nn.Transformer(d, 4, 1, 2, 48, dropout=0.0, batch_first=True, activation="gelu")
        self.out = nn.Linear(d, VOCAB)
        for p in self.parameters():
            if p.dim() > 1:
                nn.init.xavier_uniform_(p)

    def embed(self, table, x):
        return table(x) * math.sqrt(32) + self.place(torch.arange(x.size(1)))

    def forward(self, src, tgt):
        causal = nn.Transformer.generate_square_subsequent_mask(tgt.size(1))
        out = self.transformer(self.embed(self.src, src), self.embed(self.tgt, tgt),
                               tgt_mask=causal, src_key_padding_mask=src == PAD,
                               tgt_key_padding_mask=(tgt == PAD), memory_key_padding_mask=src == PAD)
        return self.out(out)


model = Model()
optimizer = torch.optim.Adam(model.parameters(), lr=3e-3, betas=(0.9, 0.98), eps=1e-9)
losses = []
for step in range(8):
    src, tgt = batch(16)
    logits = model(src, tgt[:, :-1])
    loss = nn.functional.cross_entropy(logits.reshape(-1, VOCAB), tgt[:, 1:].reshape(-1), ignore_index=PAD)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    losses.append(loss.item())
model.eval()
src, _ = batch(2)
out = torch.full((2, 1), BOS)
with torch.no_grad():
    for _ in range(5):
        out = torch.cat([out, model(src, out)[:, -1].argmax(-1, keepdim=True)], dim=1)
print(json.dumps({"losses": losses, "out": out.tolist()}))
