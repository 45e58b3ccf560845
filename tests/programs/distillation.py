"""A small network learns from the softened answers and the hidden features of a larger one."""
import json

import torch
from datafiles import mnist
from torch import nn

torch.manual_seed(42)
images, labels = mnist(256)
x, y = torch.from_numpy(images).float().unsqueeze(1) / 255, torch.from_numpy(labels)
teacher = nn.Sequential(nn.Conv2d(1, 16, 5, 2), nn.ReLU(), nn.Flatten(),
                        nn.Linear(2304, 32), nn.ReLU(), nn.Linear(32, 10))
student = nn.Sequential(nn.Conv2d(1, 4, 5, 4), nn.ReLU(), nn.Flatten(),
                        nn.Linear(144, 16), nn.ReLU(), nn.Linear(16, 10))
regressor = nn.Linear(16, 32)
ce_loss, mse = nn.CrossEntropyLoss(), nn.MSELoss()
optimizer = torch.optim.Adam(teacher.parameters(), lr=1e-3)
for i in range(0, 256, 32):
    optimizer.zero_grad()
    loss = ce_loss(teacher(x[i:i + 32]), y[i:i + 32])
    loss.backward()
    optimizer.step()
teacher.eval()
student.train()
optimizer = torch.optim.Adam([*student.parameters(), *regressor.parameters()], lr=5e-3)
T, losses = 2, []
for i in range(0, 256, 32):
    optimizer.zero_grad()
    with torch.no_grad():
        hidden = teacher[:4](x[i:i + 32])
        teacher_logits = teacher[4:](hidden)
    features = student[:4](x[i:i + 32])
    student_logits = student[4:](features)
    soft_targets = nn.functional.softmax(teacher_logits / T, dim=-1)
    soft_prob = nn.functional.log_softmax(student_logits / T, dim=-1)
    distill = torch.sum(soft_targets * (soft_targets.log() - soft_prob)) / soft_prob.size()[0] * T ** 2
    cosine = nn.CosineEmbeddingLoss()(regressor(features), hidden, torch.ones(32))
    total = 0.5 * distill + 0.3 * ce_loss(student_logits, y[i:i + 32]) + 0.2 * cosine + 0.01 * mse(
        regressor(features), hidden)
    total.backward()
    optimizer.step()
    losses.append([total.item(), distill.item(), cosine.item()])
print(json.dumps({"teacher": loss.item(), "losses": losses}))
