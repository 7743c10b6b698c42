/* The demo page's own buttons: ask one of the questions, or be another customer. */
"use strict";

const chat = document.querySelector("careline-chat");
const customer = document.querySelector("#customer");

for (const button of document.querySelectorAll("[data-ask]")) {
  button.addEventListener("click", () => chat.ask(button.dataset.ask));
}

if (customer) {
  customer.value = sessionStorage.getItem("demo customer") ?? customer.value;
  chat.setAttribute("customer", customer.value);
  customer.addEventListener("change", () => {
    sessionStorage.setItem("demo customer", customer.value);
    chat.setAttribute("customer", customer.value);
    chat.reset();
  });
}
