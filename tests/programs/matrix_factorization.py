"""A recommender: users and items as vectors with biases, learnt from ratings with weight decay."""
import json

import torch
from torch import nn

torch.manual_seed(0)
n_users, n_items, n_factors = 40, 30, 6
truth = torch.randn(n_users, 2) @ torch.randn(2, n_items)
seen = torch.rand(n_users, n_items) < 0.3
users, items = seen.nonzero(as_tuple=True)
ratings = truth[users, items]


class BiasedMatrixFactorization(nn.Module):
    def __init__(self):
        super().__init__()
        self.user_factors = nn.Embedding(n_users, n_factors)
        self.item_factors = nn.Embedding(n_items, n_factors)
        self.user_biases = nn.Embedding(n_users, 1)
        self.item_biases = nn.Embedding(n_items, 1)
        for e in self.children():
            nn.init.normal_(e.weight, std=0.1)

    def forward(self, user, item):
        pred = self.user_biases(user) + self.item_biases(item)
        pred += (self.user_factors(user) * self.item_factors(item)).sum(dim=1, keepdim=True)
        return pred.squeeze()


model = BiasedMatrixFactorization()
loss_func = nn.MSELoss()
optimizer = torch.optim.Adam(model.parameters(), lr=0.05, weight_decay=1e-4)
losses = []
for epoch in range(4):
    for batch in torch.randperm(len(users)).split(64):
        loss = loss_func(model(users[batch], items[batch]), ratings[batch])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
with torch.no_grad():
    scores = model.user_factors.weight @ model.item_factors.weight.T
    scores[seen] = float("-inf")
    best = scores.topk(3, dim=1).indices[:4]
print(json.dumps({"losses": losses, "count": len(users), "best": best.tolist()}))
