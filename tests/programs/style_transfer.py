"""The input is what is optimised: content and style (Gram matrices) of two photographs in a frozen network."""
import json

import torch
import torch.nn as nn
import torch.nn.functional as F
from datafiles import cifar

torch.manual_seed(0)
photos = torch.from_numpy(cifar(2)[0]).float() / 255
content_img, style_img = photos[:1], photos[1:]
cnn = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 8, 3, padding=1),
                    nn.ReLU(), nn.AvgPool2d(2), nn.Conv2d(8, 12, 3)).eval()
cnn.requires_grad_(False)


def gram_matrix(input):
    a, b, c, d = input.size()
    features = input.view(a * b, c * d)
    return torch.mm(features, features.t()).div(a * b * c * d)


class ContentLoss(nn.Module):
    def __init__(self, target):
        super().__init__()
        self.target = target.detach()

    def forward(self, input):
        self.loss = F.mse_loss(input, self.target)
        return input


class StyleLoss(nn.Module):
    def __init__(self, target_feature):
        super().__init__()
        self.target = gram_matrix(target_feature).detach()

    def forward(self, input):
        self.loss = F.mse_loss(gram_matrix(input), self.target)
        return input


model, content_losses, style_losses = nn.Sequential(), [], []
for i, layer in enumerate(cnn.children()):
    model.add_module(f"{type(layer).__name__}_{i}", nn.ReLU(inplace=False) if isinstance(layer, nn.ReLU) else layer)
    if isinstance(layer, nn.Conv2d):
        style = StyleLoss(model(style_img))
        model.add_module(f"style_{i}", style)
        style_losses.append(style)
    if i == 2:
        content = ContentLoss(model(content_img))
        model.add_module(f"content_{i}", content)
        content_losses.append(content)
input_img = content_img.clone().requires_grad_(True)
optimizer = torch.optim.LBFGS([input_img], max_iter=5)
scores = []
for step in range(2):
    def closure():
        with torch.no_grad():
            input_img.clamp_(0, 1)
        optimizer.zero_grad()
        model(input_img)
        style_score = sum(sl.loss for sl in style_losses) * 1e4
        content_score = sum(cl.loss for cl in content_losses)
        loss = style_score + content_score
        loss.backward()
        scores.append([style_score.item(), content_score.item()])
        return loss
    optimizer.step(closure)
print(json.dumps({"scores": scores, "names": [n for n, _ in model.named_children()]}))
