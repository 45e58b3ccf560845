"""Sentences of two books told apart by nn.TransformerEncoder with padding masks and positional encoding."""
import json
import math

import torch
import torch.nn as nn
from datafiles import text


class PositionalEncoding(nn.Module):
    def __init__(self, d_model, max_len=64):
        super().__init__()
        position = torch.arange(max_len).unsqueeze(1)
        div_term = torch.exp(torch.arange(0, d_model, 2) * (-math.log(10000.0) / d_model))
        pe = torch.zeros(max_len, 1, d_model)
        pe[:, 0, 0::2] = torch.sin(position * div_term)
        pe[:, 0, 1::2] = torch.cos(position * div_term)
        self.register_buffer("pe", pe)

    def forward(self, x):
        return x + self.pe[:x.size(0)]


class Classifier(nn.Module):
    def __init__(self, ntoken, d_model=24, nhead=4, d_hid=48, nlayers=2):
        super().__init__()
        self.encoder = nn.Embedding(ntoken, d_model, padding_idx=0)
        self.pos_encoder = PositionalEncoding(d_model)
        layer = nn.TransformerEncoderLayer(d_model, nhead, d_hid, dropout=0.0)
        self.transformer_encoder = nn.TransformerEncoder(layer, nlayers, enable_nested_tensor=False)
        self.decoder = nn.Linear(d_model, 2)
        self.d_model = d_model

    def forward(self, src, mask):
        x = self.pos_encoder(self.encoder(src) * math.sqrt(self.d_model))
        x = self.transformer_encoder(x, src_key_padding_mask=mask)
        kept = (~mask).t().unsqueeze(-1).float()
        return self.decoder((x * kept).sum(0) / kept.sum(0))


torch.manual_seed(0)
books = [text("tinyshakespeare_input", 6000), text("alice_wonderland", 6000)]
lines = [(line, label) for label, book in enumerate(books) for line in book.splitlines() if len(line) > 20][:2000]
lines = lines[:24] + lines[-24:]
vocabulary = {c: i + 1 for i, c in enumerate(sorted(set("".join(books))))}
width = 32
ids = torch.zeros(len(lines), width, dtype=torch.long)
for row, (line, _) in enumerate(lines):
    codes = torch.tensor([vocabulary[c] for c in line[:width]])
    ids[row, :len(codes)] = codes
labels = torch.tensor([label for _, label in lines])
model = Classifier(len(vocabulary) + 1)
optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
losses = []
for step in range(8):
    order = torch.randperm(len(lines))[:24]
    batch = ids[order]
    loss = nn.functional.cross_entropy(model(batch.t(), batch == 0), labels[order])
    optimizer.zero_grad()
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 0.5)
    optimizer.step()
    losses.append(loss.item())
model.eval()
with torch.no_grad():
    logits = model(ids.t(), ids == 0)
print(json.dumps({"losses": losses, "logits": logits[:3].tolist(),
                  "padding": model.encoder.weight[0].abs().sum().item()}))
