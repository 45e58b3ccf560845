"""A language model whose output layer is its embedding; the tie survives saving, copying and moving."""
import copy
import json

import torch
from datafiles import text
from torch import nn

torch.manual_seed(0)
data = text("alice_wonderland", 1500)
chars = sorted(set(data))
ids = torch.tensor([chars.index(c) for c in data])


class RNNModel(nn.Module):
    def __init__(self, ntoken, nhid, tie_weights=True):
        super().__init__()
        self.encoder = nn.Embedding(ntoken, nhid)
        self.rnn = nn.RNN(nhid, nhid, 2, nonlinearity="tanh")
        self.decoder = nn.Linear(nhid, ntoken)
        if tie_weights:
            self.decoder.weight = self.encoder.weight
        nn.init.uniform_(self.encoder.weight, -0.1, 0.1)
        nn.init.zeros_(self.decoder.bias)

    def forward(self, input, hidden=None):
        output, hidden = self.rnn(self.encoder(input), hidden)
        return nn.functional.log_softmax(self.decoder(output).view(-1, self.decoder.out_features), dim=1), hidden


model = RNNModel(len(chars), 20)
optimizer = torch.optim.SGD(model.parameters(), lr=2.0)
hidden, losses = None, []
batches = ids[:1400].view(10, 140).t().contiguous()
for i in range(0, 120, 12):
    hidden = None if hidden is None else hidden.detach()
    log_probs, hidden = model(batches[i:i + 12], hidden)
    loss = nn.NLLLoss()(log_probs, batches[i + 1:i + 13].reshape(-1))
    optimizer.zero_grad()
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 0.25)
    optimizer.step()
    losses.append(loss.item())
twin = copy.deepcopy(model)
print(json.dumps({"losses": losses, "tied": model.decoder.weight is model.encoder.weight,
                  "twin": twin.decoder.weight is twin.encoder.weight, "parameters": len(list(model.parameters())),
                  "keys": list(model.state_dict()), "weight": model.encoder.weight.sum().item()}))
