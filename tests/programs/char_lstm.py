"""Shakespeare by characters: a two-layer LSTM, hidden state carried on,
gradients clipped, truncated backpropagation."""
import json

import torch
import torch.nn as nn
from datafiles import text

torch.manual_seed(0)
data = text("tinyshakespeare_input", 4000)
chars = sorted(set(data))
stoi = {ch: i for i, ch in enumerate(chars)}
ids = torch.tensor([stoi[c] for c in data])
seq, batch = 20, 8


class CharLSTM(nn.Module):
    def __init__(self, vocab, hidden):
        super().__init__()
        self.embed = nn.Embedding(vocab, 24)
        self.lstm = nn.LSTM(24, hidden, num_layers=2, batch_first=True)
        self.head = nn.Linear(hidden, vocab)

    def forward(self, x, state=None):
        out, state = self.lstm(self.embed(x), state)
        return self.head(out), state


model = CharLSTM(len(chars), 48)
optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
streams = ids[:len(ids) // batch * batch].view(batch, -1)
state, losses, norms = None, [], []
for step in range(16):
    i = step * seq
    x, y = streams[:, i:i + seq], streams[:, i + 1:i + seq + 1]
    if state is not None:
        state = tuple(s.detach() for s in state)
    logits, state = model(x, state)
    loss = nn.functional.cross_entropy(logits.reshape(-1, len(chars)), y.reshape(-1))
    optimizer.zero_grad()
    loss.backward()
    norms.append(float(nn.utils.clip_grad_norm_(model.parameters(), 0.5)))
    optimizer.step()
    losses.append(loss.item())
model.eval()
context, out = ids[None, :10], []
with torch.no_grad():
    logits, state = model(context)
    for _ in range(20):
        nxt = logits[:, -1].argmax(-1, keepdim=True)
        out.append(nxt.item())
        logits, state = model(nxt, state)
print(json.dumps({"losses": losses, "norms": norms, "text": "".join(chars[i] for i in out)}))
